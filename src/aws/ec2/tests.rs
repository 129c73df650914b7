use super::*;
use crate::aws::test_http_client::Replay;
use crate::pool::model::remote_error::ErrorKind;
use crate::reconcile::ports::AutoScaling;

fn types(names: &[&str]) -> String {
    let items: String = names
        .iter()
        .map(|name| {
            format!(
                "<item><instanceType>{name}</instanceType><vCpuInfo><defaultVCpus>2</defaultVCpus></vCpuInfo>\
                 <memoryInfo><sizeInMiB>8192</sizeInMiB></memoryInfo></item>"
            )
        })
        .collect();
    format!("<DescribeInstanceTypesResponse><instanceTypeSet>{items}</instanceTypeSet></DescribeInstanceTypesResponse>")
}

fn listed(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[tokio::test]
async fn describe_instance_types_reads_memory_and_cpu_and_omits_types_not_offered() {
    let replay = Replay::default().http(200, &types(&["m7i.large"]));
    let asked = listed(&["m7i.large", "x9.huge"]);
    let found = replay.auto_scaling().instance_types(&asked).await.unwrap().unwrap();
    assert_eq!(found, BTreeMap::from([("m7i.large".to_owned(), Room { memory_mib: 8192, cpu_units: 2048, gpus: 0 })]));
    assert_eq!(
        replay.sent()[0].form(),
        "Action=DescribeInstanceTypes\nFilter.1.Name=instance-type\nFilter.1.Value.1=m7i.large\n\
         Filter.1.Value.2=x9.huge\nVersion=2016-11-15"
    );
}

#[tokio::test]
async fn describe_instance_types_counts_gpus_and_reads_no_memory_of_theirs() {
    let gpu = |count: &str| {
        format!("<item><name>L4</name>{count}<memoryInfo><sizeInMiB>22888</sizeInMiB></memoryInfo></item>")
    };
    let item = |name: &str, gpus: &str| {
        format!(
            "<item><instanceType>{name}</instanceType><gpuInfo><gpus>{gpus}</gpus><totalGpuMemoryInMiB>91552\
             </totalGpuMemoryInMiB></gpuInfo><vCpuInfo><defaultVCpus>4</defaultVCpus></vCpuInfo><memoryInfo>\
             <sizeInMiB>16384</sizeInMiB></memoryInfo></item>"
        )
    };
    let items = item("g6.12xlarge", &gpu("<count>4</count>")) + &item("g6f.large", &gpu("<count>0</count>"));
    let answer = format!("<R><instanceTypeSet>{items}</instanceTypeSet></R>");
    let replay = Replay::default().http(200, &answer);
    let found = replay.auto_scaling().instance_types(&listed(&["g6.12xlarge", "g6f.large"])).await.unwrap().unwrap();
    let room = |gpus| Room { memory_mib: 16_384, cpu_units: 4096, gpus };
    assert_eq!(found, BTreeMap::from([("g6.12xlarge".to_owned(), room(4)), ("g6f.large".to_owned(), room(1))]));
}

#[tokio::test]
async fn describe_subnets_reads_those_that_exist() {
    let response = "<DescribeSubnetsResponse><subnetSet><item><subnetId>subnet-a</subnetId><tagSet><item/></tagSet></item>\
                  </subnetSet></DescribeSubnetsResponse>";
    let replay = Replay::default().http(200, response);
    let found = replay.auto_scaling().subnets(&listed(&["subnet-a", "subnet-b"])).await.unwrap();
    assert_eq!(found, Some(BTreeSet::from(["subnet-a".to_owned()])));
    assert_eq!(
        replay.sent()[0].form(),
        "Action=DescribeSubnets\nFilter.1.Name=subnet-id\nFilter.1.Value.1=subnet-a\nFilter.1.Value.2=subnet-b\n\
         Version=2016-11-15"
    );
}

#[tokio::test]
async fn response_about_other_names_is_ignored() {
    let subnets = "<DescribeSubnetsResponse><subnetSet><item><subnetId>subnet-z</subnetId></item></subnetSet>\
                   </DescribeSubnetsResponse>";
    let replay = Replay::default().http(200, &types(&["t2.micro", "m7i.large"])).http(200, subnets);
    let client = replay.auto_scaling();
    assert_eq!(client.instance_types(&listed(&["m7i.large"])).await.unwrap(), None);
    assert_eq!(client.subnets(&listed(&["subnet-a"])).await.unwrap(), None);
}

#[tokio::test]
async fn unreadable_response_of_ec2_is_an_error_and_never_an_empty_list() {
    let denied = "<Response><Errors><Error><Code>UnauthorizedOperation</Code><Message>no</Message></Error></Errors>\
                  </Response>";
    let replay = Replay::default()
        .http(403, denied)
        .http(200, "not XML")
        .http(200, &types(&["m7i.large"]).replace("sizeInMiB", "size"));
    let client = replay.auto_scaling();
    for wanted in [ErrorKind::Denied, ErrorKind::Unexpected, ErrorKind::Unexpected] {
        let error = client.instance_types(&listed(&["m7i.large"])).await.unwrap_err();
        assert_eq!(error.kind(), wanted, "{error}");
    }
}
